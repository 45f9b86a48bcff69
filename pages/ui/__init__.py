"""How to write a page.

A page is a script `pages/<section>/<name>.py`, registered by one `Entry` line in that folder's `__init__` (address
`/<name>`, unique over all sections). The frame has run before it: the session is checked, the role may open the page,
the sidebar is drawn, and whatever the page raises becomes a sentence. It reads from top to bottom, without functions
around its body, and holds no SQL and no arithmetic: core reads (`gdp_core.analytics`, frozen results), charts draw
results, pages place them.

    place = here()                                        # who, where, which days; again in every fragment
    with layout.head("Jobs", "What ran, and what failed"):
        layout.scope_bar(place)                           # only where the period matters
    runs = data.remembered(place, jobs.read_runs, place.scope)   # cached: counts, names of things; no personal data
    people = place.read(people_list.read_page, ...)       # not cached: personal data
    if not runs.rows:
        with layout.empty(":material/bolt:", "No job has run yet.", "Start the jobs with make run."):
            nav.link(place, "sources", label="Connect a source")

Texts
    `st.text`, table cells and select options are literal. Everything else is Markdown: wrap whatever is not a constant
    in `safe_text(...)`, or use `layout` (title, note, badge, facts, empty), which does. A test reads every page for it:
    it takes constants, tables of constants in CAPITALS, `safe_text`, `icon_text` and `place.write`, and nothing else.
    Personal data passes through `place.sees(...)` first: a VIEWER sees it masked.
Writing things
    `place.write` formats in the workspace's locale, zone and currency: number, percent, money(micros, currency), day,
    instant, ago. `format.label("paid_ads")` spells stored words. Unknown is "–".
State
    What belongs in a link: `FIELDS = (state.Field("jobs", "state", choices=...), ...)`; `state.adopt(FIELDS)` before the
    widgets, `key=FIELDS[0].key` on them, `state.publish(FIELDS)` after. What belongs to the tab: `state.Slot`. Nothing
    else touches `st.session_state` or `st.query_params`.
Changing things
    In a callback or on a submit, never in the body of a run:
    `with here().change() as session: core_function(session, place.principal, ..., now=place.now)`, then
    `layout.done("Key revoked.")` and, when the data's version does not show it, `data.forget(place)`. Core checks the role and
    audits. `layout.confirm(...)` asks before anything destructive. `forms.ask(Model, key=...)` renders any pydantic
    model and returns it when it is valid. Hide what a role may not do with `place.may("sources.write")`.
Slow or live parts
    `@boundary.fragment(parallel=True)` with `with st.skeleton(height=260):` inside; `every=15` for what moves.
Links
    `nav.link(place, "person", label=..., id=...)` is a real link that keeps workspace and period. Never `st.switch_page`:
    it loses Back. `nav.go` is for a page that is of something no more.
Rows that open something
    `rows.Buttons(key)`: `cells` and `column` are the icons at the left of a table, `text_column` makes names buttons too,
    `clicked()` says which it was. Under the table `chooser`, because only a mouse can click in a canvas.
Looks
    One primary button a view; cards with `layout.card("Title")`; tables with `layout.table({...}, alt=...)`, 25-50 rows;
    Material icons; sentence case; no CSS, no dividers, no emoji.
"""
