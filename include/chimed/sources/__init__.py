"""The five sites of the paper (§3.1). One file a site: which pages, how they are found, how one is read.

This file is light on purpose: Airflow parses it.
"""

NAMES = ("zydcd", "zhongyoo", "cnkang", "ask39", "ask120")
