"""One module a site of the replica; each gives its pages by `pages()`."""
