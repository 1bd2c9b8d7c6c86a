"""Audio files in and out, sample rates, and spectra."""
