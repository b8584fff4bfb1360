"""Reads an export with pyarrow and DuckDB and prints what they found, every decimal as text.

Arguments: the directory of the Parquet files, and the Markdown file whose ```sql blocks are run in it.
"""
import json
import os
import re
import sys
from decimal import Decimal

import duckdb
import pyarrow.parquet as parquet

folder, document = sys.argv[1:3]
document = open(document, encoding="utf-8").read()
os.chdir(folder)
report = {"rows": {}, "arrow_sums": {}, "duckdb_sums": {}, "types": {}}
for name in sorted(os.listdir(".")):
    kind = name.removesuffix(".parquet")
    table = parquet.read_table(name)
    report["rows"][kind] = table.num_rows
    for field in table.schema:
        report["types"][f"{kind}.{field.name}"] = str(field.type)
        if str(field.type).startswith("decimal"):
            values = [value for value in table[field.name].to_pylist() if value is not None]
            assert all(isinstance(value, Decimal) for value in values)
            total = sum(values, Decimal(0))
            report["arrow_sums"][f"{kind}.{field.name}"] = format(total, "f")
            found = duckdb.sql(f'SELECT sum("{field.name}") FROM \'{name}\'').fetchall()[0][0]
            assert found is None or isinstance(found, Decimal), (kind, field.name, found)
            report["duckdb_sums"][f"{kind}.{field.name}"] = format(found or Decimal(0), "f")
queries = re.findall(r"```sql\n(.*?)```", document, re.S)
report["queries"] = [len(duckdb.sql(query).fetchall()) for query in queries]
print(json.dumps(report))
