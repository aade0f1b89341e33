"""params.yaml as typed, checked objects, one module per section.

Every stage calls :func:`load`, so a wrong key, type or value anywhere in the file stops the first stage before it computes
anything.
"""

from pipeline.config.base import (
    AnySection as AnySection,
)
from pipeline.config.base import (
    Fraction as Fraction,
)
from pipeline.config.base import (
    Medium as Medium,
)
from pipeline.config.base import (
    ParamsError as ParamsError,
)
from pipeline.config.base import (
    Positive as Positive,
)
from pipeline.config.base import (
    Section as Section,
)
from pipeline.config.base import (
    Seed as Seed,
)
from pipeline.config.base import (
    did_you_mean as did_you_mean,
)
from pipeline.config.base import (
    is_section as is_section,
)
from pipeline.config.base import (
    merged as merged,
)
from pipeline.config.data import (
    Audit as Audit,
)
from pipeline.config.data import (
    Data as Data,
)
from pipeline.config.data import (
    PictureAudit as PictureAudit,
)
from pipeline.config.data import (
    PictureData as PictureData,
)
from pipeline.config.data import (
    Split as Split,
)
from pipeline.config.data import (
    Starter as Starter,
)
from pipeline.config.experiment import (
    Experiment as Experiment,
)
from pipeline.config.experiment import (
    Fusion as Fusion,
)
from pipeline.config.experiment import (
    Model as Model,
)
from pipeline.config.experiment import (
    at as at,
)
from pipeline.config.experiment import (
    backbones as backbones,
)
from pipeline.config.experiment import (
    inheriting as inheriting,
)
from pipeline.config.experiment import (
    parts as parts,
)
from pipeline.config.features import (
    ALIGNED as ALIGNED,
)
from pipeline.config.features import (
    WINDOWED as WINDOWED,
)
from pipeline.config.features import (
    Fbank as Fbank,
)
from pipeline.config.features import (
    FeatureKind as FeatureKind,
)
from pipeline.config.features import (
    Features as Features,
)
from pipeline.config.features import (
    Image as Image,
)
from pipeline.config.features import (
    MusicnnInput as MusicnnInput,
)
from pipeline.config.features import (
    PictureFeatures as PictureFeatures,
)
from pipeline.config.features import (
    Spectrogram as Spectrogram,
)
from pipeline.config.features import (
    Tabular as Tabular,
)
from pipeline.config.features import (
    Wavelet as Wavelet,
)
from pipeline.config.features import (
    Window as Window,
)
from pipeline.config.features import (
    kinds as kinds,
)
from pipeline.config.features import (
    possible_kinds as possible_kinds,
)
from pipeline.config.load import (
    check as check,
)
from pipeline.config.load import (
    experiment as experiment,
)
from pipeline.config.load import (
    load as load,
)
from pipeline.config.load import (
    load_sound as load_sound,
)
from pipeline.config.load import (
    of_tutorial as of_tutorial,
)
from pipeline.config.load import (
    parse as parse,
)
from pipeline.config.load import (
    read as read,
)
from pipeline.config.load import (
    varied as varied,
)
from pipeline.config.models import (
    Activation as Activation,
)
from pipeline.config.models import (
    Cnn as Cnn,
)
from pipeline.config.models import (
    HubWeights as HubWeights,
)
from pipeline.config.models import (
    Lda as Lda,
)
from pipeline.config.models import (
    LogReg as LogReg,
)
from pipeline.config.models import (
    Majority as Majority,
)
from pipeline.config.models import (
    Mlp as Mlp,
)
from pipeline.config.models import (
    Multimodal as Multimodal,
)
from pipeline.config.models import (
    PathWeights as PathWeights,
)
from pipeline.config.models import (
    PipWeights as PipWeights,
)
from pipeline.config.models import (
    Transfer as Transfer,
)
from pipeline.config.models import (
    Weights as Weights,
)
from pipeline.config.project import (
    WHOLE as WHOLE,
)
from pipeline.config.project import (
    Champion as Champion,
)
from pipeline.config.project import (
    Params as Params,
)
from pipeline.config.project import (
    PictureParams as PictureParams,
)
from pipeline.config.project import (
    SoundParams as SoundParams,
)
from pipeline.config.project import (
    Tracking as Tracking,
)
from pipeline.config.project import (
    Tutorial as Tutorial,
)
from pipeline.config.sweep import (
    Sweep as Sweep,
)
from pipeline.config.sweep import (
    Values as Values,
)
from pipeline.config.training import (
    Augment as Augment,
)
from pipeline.config.training import (
    Training as Training,
)
