-- The same in BigQuery and in DuckDB. One row for each version of a record that the loader read.
CREATE TABLE IF NOT EXISTS changes (
  kind STRING NOT NULL,
  id STRING NOT NULL,
  version INT64 NOT NULL,
  deleted BOOL NOT NULL,
  record STRING NOT NULL -- the fields as JSON, every number as DrChrono sent it: JSON_VALUE(record, '$.last_name')
);

-- The copy as it is: the last version of each record. A row that was written twice counts once.
CREATE OR REPLACE VIEW records AS
SELECT kind, id, version, deleted, record
FROM changes
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY kind, id ORDER BY version DESC) = 1;
