"""Recognize exam questions in a text: the rules behind `decontaminate`."""
