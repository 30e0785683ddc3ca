"""What an operator asks of an installation: is it ready, what is there, is everything intact?"""
