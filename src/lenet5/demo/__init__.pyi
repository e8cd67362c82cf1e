from .assembly import page as page
from .server import Server as Server
