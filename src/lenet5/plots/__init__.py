"""Figures. They are drawn without pyplot and without a backend."""

from .style import import_matplotlib

import_matplotlib()
