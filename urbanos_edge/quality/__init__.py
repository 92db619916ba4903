"""Whether a number can be trusted, and what it is graded as.

`quality` flags what a reading says of itself, `course` what does not fit what came before,
`neighbourhood` what does not fit what others say; `watch` keeps what these need. `formulas` and
`corrections` say how values are corrected, `grading` puts indexes and flags on a batch.
"""
