"""chimed: a factory for Chinese medical language-model data (the system of *ChiMed 2.0*). Never imports Airflow."""

__version__ = "0.1.0"
