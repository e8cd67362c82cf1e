from .digit import load_digit as load_digit
from .digit import open_image as open_image
from .digit import thumbnail as thumbnail
