"""The numbers of all advisory locks, so that no two things wait for one another that have nothing to do with it.

A number is never given to something else: while an installation is updated, processes of two versions share the locks.
"""

#: Held while migrating: of several processes started together one migrates, the others wait.
MIGRATION_LOCK = 7400

#: That the leading relay holds for as long as its connection lives.
LEADER_LOCK = 7402

#: Of whoever imports a file.
IMPORT_LOCK = 7409

#: Classes: the lock has a second key. PostgreSQL keeps them apart from the numbers above: 7402 is also the class of the
#: ids that the SQL function `reserve_organisations` locks.

#: Of the one lock an organisation has; the second key is its number.
ORGANISATION_LOCK = 7401

#: Of the end of an organisation's line; the second key is its number.
TURN_LOCK = 7403

#: Of things that are changed by whoever saw them; the second key is a hash of what it is.
SUBJECT_LOCK = 7404

#: At home of whoever moves an organisation, and in a cell of what arrives there; the second key is a hash of its id.
MOVE_LOCK, ARRIVAL_LOCK = 7405, 7406

#: Of whoever moves the numbers on from which mailings get theirs: by month, or to a new epoch. The second key is 0.
NUMBERS_LOCK = 7407

#: Of one recipient's reports; the second key is a hash of whose. Of two that are taken at once, the second sees the
#: first, so that the fifth soft bounce is seen to be the fifth.
RECIPIENT_LOCK = 7408
