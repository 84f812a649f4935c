"""The rows that imports left out and that have not come in since, by import and by owner as the file has it."""

from datetime import date

import pandas as pd
import sqlalchemy as sa

from engine.analytics import frames

RECENT = 30  # days that the rows left out by an import are told about

# Of a file that was uploaded again the latest counts; a row whose deal came in by a later import is not missing.
_LEFT_OUT = """
    WITH latest AS (
        SELECT DISTINCT ON (source, filename) id, source, filename, refused,
               mapping ->> 'owner' AS owner_column, mapping ->> 'external_id' AS id_column
          FROM imports
         WHERE undone_at IS NULL AND (id = :import OR CAST(:import AS bigint) IS NULL
               AND created_at >= CAST(:today AS date) - CAST(:days AS int))
         ORDER BY source, filename, id DESC)
    SELECT i.id AS import_id, i.source, i.filename, c.owner, count(DISTINCT r.line) AS rows
      FROM latest i JOIN import_refusals r ON r.import_id = i.id
      CROSS JOIN LATERAL (
          SELECT coalesce(max(e ->> 1) FILTER (WHERE e ->> 0 = i.owner_column), '') AS owner,
                 max(e ->> 1) FILTER (WHERE e ->> 0 = i.id_column) AS external_id
            FROM jsonb_array_elements(r.raw) e) c
     WHERE i.refused > 0
       AND NOT EXISTS (SELECT FROM deals d WHERE d.source = i.source AND d.external_id = c.external_id
                          AND d.import_id > i.id)
     GROUP BY 1, 2, 3, 4 ORDER BY i.id DESC, rows DESC, c.owner
"""


def by_owner(conn: sa.Connection, today: date, import_id: int | None = None) -> pd.DataFrame:
    """Rows left out: import_id, source, filename, owner (text of the file), rows; the latest import first.

    Of one import, or of all that are no older than `RECENT` days, and not undone.
    """
    return frames.read(conn, _LEFT_OUT, {"today": today, "days": RECENT, "import": import_id})
