# `make study` and `make test` need Python 3.10 or newer and make, nothing else.

PYTHON ?= python3
# Another torch than the pinned one, in an environment of its own: make test TORCH=2.8.0
TORCH :=
VENV := .venv$(addprefix -torch-,$(TORCH))
BIN := $(VENV)/bin
CONSTRAINTS := $(if $(TORCH),$(VENV)/constraints.txt,constraints.txt)
# In the environment, and not only as an option: what the kernels are built with is pinned as well.
PIP := PIP_CONSTRAINT=$(CONSTRAINTS) $(BIN)/python -m pip --disable-pip-version-check install --quiet

CPP := $(wildcard csrc/*.cpp csrc/*.h csrc/*/*.h)
# What `make check` runs, and `pre-commit` for the files of a commit.
CHECKS := ruff pyright lint-imports clang-format shellcheck schemas workflows

.PHONY: study test exhaustive check $(CHECKS) tidy coverage format docs dist callbacks models models-page \
  doctor-calibration doctor-pages smoke sanitize clean

study: $(VENV)/run.stamp
	$(BIN)/normwise study --preset quick --out studies/quick

# Keras has one backend a process. There is no TensorFlow for Python 3.14 yet: there it is left out.
keras_tests = for backend in $$($(BIN)/python -c \
  'from importlib.util import find_spec; print(*filter(find_spec, ("tensorflow", "jax", "torch")))'); do \
  KERAS_BACKEND=$$backend $(BIN)/python -m pytest --numprocesses 2 $(1) tests/keras || exit 1; done

# Style and types are those of the pinned torch.
# The kernels for GPUs are interpreted in a process of their own: there nothing can be compiled.
test: $(if $(TORCH),$(VENV)/dev.stamp,check)
	env -u KERAS_BACKEND $(BIN)/python -m pytest --numprocesses 2
	TRITON_INTERPRET=1 $(BIN)/python -m pytest --numprocesses 2 tests/kernels/triton/interpreted
	$(call keras_tests,)

# Combinations of options that `make test` leaves out, because each repeats what others test.
exhaustive: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m exhaustive --numprocesses 2

check: $(CHECKS)

$(CHECKS): $(VENV)/dev.stamp

ruff:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

pyright:
	$(BIN)/pyright

lint-imports:
	$(BIN)/lint-imports

clang-format:
	$(BIN)/clang-format --dry-run --Werror $(CPP)

shellcheck:
	$(BIN)/shellcheck .ci/run .ci/dist

# The schemas are those that check-jsonschema brings: nothing is fetched.
SCHEMA := $(BIN)/check-jsonschema --builtin-schema
schemas:
	$(SCHEMA) vendor.citation-file-format CITATION.cff
	$(SCHEMA) vendor.dependabot .github/dependabot.yml
	$(SCHEMA) vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(SCHEMA) vendor.github-issue-forms $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	$(SCHEMA) vendor.github-workflows .github/workflows/*.yml

# actionlint is run where it is installed: the package on PyPI that has its name downloads the program from elsewhere.
workflows:
	$(BIN)/zizmor --offline --quiet .github
	@if command -v actionlint; then actionlint; else echo "workflows: left out actionlint, which is not on PATH"; fi

# clang-tidy on the kernels of all instruction sets; needs cmake, and GCC's omp.h.
tidy: $(VENV)/dev.stamp
	cmake -S csrc -B build/tidy -DNORMWISE_SMOKE_TEST=ON -DCMAKE_EXPORT_COMPILE_COMMANDS=ON
	$(BIN)/clang-tidy -p build/tidy --quiet --extra-arg=-idirafter --extra-arg="$$(gcc -print-file-name=include)" \
	  csrc/kernels.cpp csrc/smoke_test.cpp

# Which lines and branches the tests of `make test` run: a table here, pages in build/coverage. It fails below the
# share in pyproject.toml.
coverage: $(VENV)/dev.stamp
	env -u KERAS_BACKEND $(BIN)/python -m pytest --numprocesses 2 --cov --cov-report=
	TRITON_INTERPRET=1 $(BIN)/python -m pytest --numprocesses 2 --cov --cov-append --cov-report= \
	  tests/kernels/triton/interpreted
	$(call keras_tests,--cov --cov-append --cov-report=)
	$(BIN)/coverage html
	$(BIN)/coverage report

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CPP)

# The documentation as a site in English and Chinese, in build/site; whatever Sphinx warns of is an error.
docs: $(VENV)/dev.stamp
	$(BIN)/python -m website.build build/site

# A source distribution and a wheel in dist/, each installed into an empty environment and tried there.
dist: $(VENV)/dev.stamp
	PIP_CONSTRAINT=$(abspath $(CONSTRAINTS)) .ci/dist $(abspath $(BIN))/python

# The callbacks in trainings of Lightning and of Hugging Face's Trainer, and the how-to about them as a whole; without
# these packages `make test` has a stand-in for Lightning and leaves the rest out.
callbacks: $(VENV)/callbacks.stamp
	$(BIN)/python -m pytest tests/callbacks
	$(BIN)/python -m pytest tests/documentation/guides/test_guides.py -k training-loops

# All operations and the doctor on models of torchvision, timm and transformers, and the pages that say what came of it.
models: $(VENV)/models.stamp
	$(BIN)/python -m pytest -m models --numprocesses 2

models-page: $(VENV)/models.stamp
	@mkdir -p build
	$(BIN)/python -m tests.third_party.page > build/models.md
	mv build/models.md docs/models.md
	$(BIN)/python -m tests.third_party.doctor.page > build/third-party.md
	mv build/third-party.md docs/doctor/third-party.md

# Healthy trained models and models made sick on purpose, as the doctor sees them, and the pages that say so. With MNIST
# where it is found; trained models are kept in build/.
doctor-calibration: $(VENV)/run.stamp
	$(BIN)/python -m benchmarks.doctor_calibration --page docs/doctor/calibration.md --healed docs/doctor/healed.md

# A page for each rule of the doctor, and their index; the session that a page shows, and a screenshot, by Chromium.
doctor-pages: $(VENV)/dev.stamp
	$(BIN)/python -m tests.documentation.rule_pages docs/doctor
	$(BIN)/python -m tests.documentation.doctor_session docs/doctor/command-line.md docs/pictures/doctor.png

# The kernels of all instruction sets against csrc/reference.h; needs cmake. `make test` has the baseline's.
smoke:
	cmake -S csrc -B build/smoke -DNORMWISE_SMOKE_TEST=ON
	cmake --build build/smoke
	OMP_WAIT_POLICY=passive build/smoke/smoke_test

# The kernels' tests, and CALLS calls with whatever tensors there can be, under sanitizers of GCC, in an environment of
# their own beside the installed packages:
# make sanitize, or make sanitize SANITIZE=thread RUNTIME=libtsan.so LIMIT=1. OpenMP's own library is not instrumented:
# its barriers are races to the thread sanitizer, which therefore sees what several Python threads do at once, with
# one OpenMP thread each.
SANITIZE := address;undefined
RUNTIME := libasan.so
LIMIT := 64
SANITIZED := build/sanitize
CALLS := 6000
UNDER = LD_PRELOAD="$$(gcc -print-file-name=$(RUNTIME)) $$(gcc -print-file-name=libstdc++.so)" \
  OMP_THREAD_LIMIT=$(LIMIT) ASAN_OPTIONS=detect_leaks=0 TSAN_OPTIONS=ignore_noninstrumented_modules=1

sanitize: $(VENV)/dev.stamp
	$(PYTHON) -m venv --clear $(SANITIZED)
	$(BIN)/python -c 'import site; print(site.getsitepackages()[0])' > \
	  "$$($(SANITIZED)/bin/python -c 'import site; print(site.getsitepackages()[0])')/installed.pth"
	$(SANITIZED)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps \
	  --config-settings 'cmake.define.NORMWISE_SANITIZE=$(SANITIZE)' .
	$(UNDER) $(SANITIZED)/bin/python -m pytest tests/kernels/cpu/test_exactness.py tests/kernels/cpu/test_library.py \
	  tests/nn/layers/test_inplace.py --deselect tests/kernels/cpu/test_exactness.py::test_ten_million_elements_a_channel
	$(UNDER) $(SANITIZED)/bin/python -m tests.kernels.cpu.fuzz $(CALLS)

# A stamp is newer than what it was installed from, so the second time nothing is installed.
SOURCES := pyproject.toml $(CONSTRAINTS) csrc/CMakeLists.txt $(CPP)

$(VENV)/run.stamp: $(SOURCES) | $(BIN)/python
	$(PIP) --editable '.[study]'
	@touch $@

$(VENV)/dev.stamp: $(SOURCES) | $(BIN)/python
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/run.stamp

$(VENV)/callbacks.stamp: $(SOURCES) | $(BIN)/python
	$(PIP) --editable '.[dev,callbacks]'
	@touch $@ $(VENV)/dev.stamp $(VENV)/run.stamp

$(VENV)/models.stamp: $(SOURCES) | $(BIN)/python
	$(PIP) --editable '.[dev,models]'
	@touch $@ $(VENV)/dev.stamp $(VENV)/run.stamp

# What a release of torch needs it pins itself.
$(VENV)/constraints.txt: constraints.txt | $(BIN)/python
	grep -vE '^(setuptools|sympy|torch|torchvision|triton)==' constraints.txt > $@
	echo 'torch==$(TORCH)' >> $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "normwise needs Python 3.10 or newer; name one: make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }

clean:
	rm -rf .venv .venv-torch-* build dist
