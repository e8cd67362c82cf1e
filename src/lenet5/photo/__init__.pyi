from .digit import Digits as Digits
from .digit import load_digit as load_digit
from .digit import load_digits as load_digits
from .greyscale import open_image as open_image
from .greyscale import thumbnail as thumbnail
