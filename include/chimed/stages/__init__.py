"""The stages of a build, one module each; `chimed.build.order` tells their order."""
