"""Histograms: histogram, histogram_bin_edges, histogram2d, histogramdd, bincount."""

from __future__ import annotations
