"""Order statistics and histograms: median, percentile, quantile, nan-variants, cov, corrcoef, histogram*, bincount."""

from __future__ import annotations
