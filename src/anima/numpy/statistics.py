"""Order statistics, averages, covariances and histograms."""

from __future__ import annotations
