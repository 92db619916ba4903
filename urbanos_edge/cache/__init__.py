"""Answers that are made once: `cache` in memory, `shelf` on the disk, `answers` as ready bytes,
`traffic` counted; `purge` tells a CDN.
"""
