"""Questions over two steps: a formula's entry names its herbs, and a herb's entry says what is asked of it. Ours.

Which of a formula's herbs has a property, or what the entry of its largest ingredient says. `points` finds what the
facts of all entries allow to be asked, each with one right answer; `wording` says it by rule; `gate` checks what a
model made of it against both entries.
"""
