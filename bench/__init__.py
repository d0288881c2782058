"""Programs that measure anima against its peers, and the harness that runs them alternately."""
