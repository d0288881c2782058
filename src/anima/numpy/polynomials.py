"""Polynomials: polyval, polyadd, polysub, polymul, polydiv, polyder, polyint, poly, polyfit, roots, vander."""

from __future__ import annotations
