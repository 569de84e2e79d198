"""What the console's pages read: lists, searches, previews and counts, one module a subject.

Nothing here writes, and reading is never use (PRODUCT.md §2.9). Lists come in pages
(``paging``). ``owner_id`` narrows a read to one owner's credentials: a foreign one then
looks exactly like an unknown one (INV-09). All raise ``Unavailable`` when the truth
cannot be read. ``tests/store/test_console_reads.py`` holds the promises.
"""
