"""What all console pages share. Imports ``context`` and ``i18n``; never a page.

``access``: who may open a page, and CSRF. ``cookies``, ``forms``, ``flash``: what is kept between two requests.
``query_args``: the typed query of a list. ``layout``: renders templates and error pages. ``appearance``: theme and
language. ``assets``: static files by content hash. ``dates``: instants and distances. ``request_origin``: from where a
change was made. ``access_log``: one log line and the metrics for each page.
"""
