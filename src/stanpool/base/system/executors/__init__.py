"""Executors of other libraries, by one interface: Dask, Ray, joblib and Spark."""
