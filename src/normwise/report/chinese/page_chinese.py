"""Chinese of the pages of a diagnosis, a recording, a run, a benchmark and an operation on a model."""

from normwise.report.chinese.chinese import Chinese
from normwise.report.chinese.words.benchmark_words import BENCHMARK
from normwise.report.chinese.words.doctor_words import DOCTOR
from normwise.report.chinese.words.evidence_words import EVIDENCE
from normwise.report.chinese.words.operation_words import OPERATION
from normwise.report.chinese.words.page_words import PAGE
from normwise.report.chinese.words.recording_words import RECORDING
from normwise.report.chinese.words.run_words import RUN

#: All English texts of these pages with their Chinese.
WORDS = {**PAGE, **DOCTOR, **EVIDENCE, **RECORDING, **RUN, **BENCHMARK, **OPERATION}

page_chinese = Chinese(WORDS)
