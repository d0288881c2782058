"""Differences, gradients, interpolation, convolution and polynomials."""

from __future__ import annotations
