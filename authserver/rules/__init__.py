"""Judgement: pure functions of facts and a moment. No clock, dice, disk or framework.

- ``liveness``: a token is active only while every rule says so; order is data (INV-05, 07, 08).
- ``idle``: a token unused for the idle timeout is dead (INV-06).
- ``role_version``: a token older than its owner's roles is dead (INV-01, INV-03).
- ``role_subset``: a token's roles are asked ∩ chosen ∩ held (INV-04).
- ``secret_format``: what a secret looks like, and how two may overlap (INV-10).
- ``lifetime``: when a new token must end at the latest (INV-07).
- ``claims``: what a token says about itself, made and read back in one file.
- ``password``: what a local password may be.
- ``names``: what roles, users and audiences may be called.
"""
