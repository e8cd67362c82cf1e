from .catalogue import RECIPES as RECIPES
from .catalogue import PublishedError as PublishedError
from .catalogue import Recipe as Recipe
from .original import SDLMSchedule as SDLMSchedule
