"""params.yaml as typed, checked objects, one module per section.

Every stage calls :func:`load`, so a wrong key, type or value anywhere in the file stops the first stage before it
computes anything.
"""

from pipeline.config.base import ParamsError as ParamsError
from pipeline.config.experiment import Fusion as Fusion
from pipeline.config.experiment import at as at
from pipeline.config.experiment import backbones as backbones
from pipeline.config.experiment import branches as branches
from pipeline.config.experiment import varied as varied
from pipeline.config.features import ALIGNED as ALIGNED
from pipeline.config.features import Window as Window
from pipeline.config.load import find_block as find_block
from pipeline.config.load import load as load
from pipeline.config.load import parse as parse
from pipeline.config.load import read as read
from pipeline.config.project import Params as Params
