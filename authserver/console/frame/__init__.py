"""What all console pages share: access rules, cookies and CSRF, forms, flash messages, dates, layout.

``context`` is the request at hand; ``access`` decides who may open a page; ``layout``
renders it. Imports ``i18n``; never a page.
"""
