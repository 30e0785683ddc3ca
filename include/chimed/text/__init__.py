"""What can be said of Chinese medical text by rule: no models, no build."""
