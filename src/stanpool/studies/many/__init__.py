"""One model of many data sets: segments, imputations, resamples, and named models."""
