"""Models of other libraries, a file a library."""

from . import timm_models, torchvision_models, transformers_models

#: In the order of the page.
SPECIMENS = (*torchvision_models.SPECIMENS, *timm_models.SPECIMENS, *transformers_models.SPECIMENS)
