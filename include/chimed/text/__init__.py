"""Analyse Chinese medical text by rule, without models and builds."""
