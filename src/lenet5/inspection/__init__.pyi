from .attribution import saliency as saliency
from .layers import layer_table as layer_table
from .learned import connection_table as connection_table
from .learned import filters as filters
from .learned import prototypes as prototypes
from .maps import feature_maps as feature_maps
from .observed import Prepared as Prepared
