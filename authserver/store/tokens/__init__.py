"""Tokens: the two hot reads, the session records, the usage buffer, revocations and counts.

``hot_path`` is the one statement of a token request and the one of an introspection;
``sessions`` the record of each token; ``usage_buffer`` writes uses behind the request;
``usage_reports`` what resource servers report; ``change_feed``, ``feed_fetches`` tells them what ended;
``kill_reads`` what a probe must see refused;
``one_time_ids`` what may be used once; ``token_limits`` how many and how often;
``revocations`` keeps the ordered list of everything that ended;
``unused_tokens`` names clients that request far more than they use; ``live_tokens``, ``reads`` and ``gauges`` count.
"""
