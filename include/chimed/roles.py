"""Name who speaks in a consultation, in tables, messages and pages. Imports nothing, for parsers use it."""

ASKER, DOCTOR = "user", "assistant"  # as chat templates name them
FOLLOW_UP, REPLY = "follow-up question", "follow-up answer"  # 追问, 追答
SPOKEN = {ASKER: FOLLOW_UP, DOCTOR: REPLY}
