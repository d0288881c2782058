"""Sampled functions: interp, convolve, correlate, cross."""

from __future__ import annotations
