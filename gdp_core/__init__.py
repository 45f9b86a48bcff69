"""The growth data plane without any user interface.

Data flows one way, and the modules import each other in that order only:

    settings, errors, clock, money -> db -> tables -> sources -> inbox -> identity -> billing, mail -> people
    -> pipeline

`sources` turn what a vendor sent into facts and touch nothing; `pipeline.apply` is the one place where facts become
state. Nothing in here knows Streamlit, FastAPI or a schedule.
"""
