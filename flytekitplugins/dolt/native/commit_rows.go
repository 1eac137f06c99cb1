package native

import (
	"fmt"

	"github.com/dolthub/dolt/go/cmd/dolt/cli"
	"github.com/dolthub/dolt/go/libraries/doltcore/doltdb"
	"github.com/dolthub/dolt/go/libraries/doltcore/env/actions"
	"github.com/dolthub/dolt/go/libraries/doltcore/schema"
	"github.com/dolthub/dolt/go/libraries/doltcore/sqle/dsess"
	"github.com/dolthub/dolt/go/store/datas"
	"github.com/dolthub/dolt/go/store/hash"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// commitRows is flyte_commit_rows(table, file, mode, parent, author, message): it puts the rows of a rows file into a
// table, as flyte_import does, of the commit that the session is on, and makes a commit of that whose only parent is
// parent. No branch leads to it, so nobody sees it who is not told its hash, and a collection of garbage removes it.
//
// The answer is how many rows the file has, or how many were deleted; the hash of the commit, or "" where nothing
// differs from parent; and how many rows the table has there, or NULL of a table without a primary key.
func commitRows(_ *sql.Context, table, path, mode, parent, author, message string) (sql.RowIter, error) {
	return &rowWhenAsked{work: func(ctx *sql.Context) (sql.Row, error) {
		return (&rowsCommit{parent: parent, author: author, message: message}).make(ctx, table, path, mode)
	}}, nil
}

var commitRowsSchema = sql.Schema{
	{Name: "rows", Type: types.Int64}, {Name: "commit", Type: types.LongText}, {Name: "there", Type: types.Int64, Nullable: true},
}

type rowsCommit struct {
	parent, author, message string
}

func (c *rowsCommit) make(ctx *sql.Context, name, path, mode string) (sql.Row, error) {
	if err := mayDo(ctx, name, sql.PrivilegeType_Insert, sql.PrivilegeType_Update, sql.PrivilegeType_Delete); err != nil {
		return nil, err
	}
	session := dsess.DSessFromSess(ctx.Session)
	if err := refuseBranch(ctx, session); err != nil {
		return nil, err
	}
	if err := refuseOtherCommits(ctx); err != nil {
		return nil, err
	}
	target, err := importTarget(ctx, session, name)
	if err != nil {
		return nil, err
	}
	changed, answer, err := target.change(ctx, path, mode)
	if err != nil {
		return nil, err
	}
	root, err := target.root.PutTable(ctx, target.name, changed)
	if err != nil {
		return nil, err
	}
	made, err := c.of(ctx, session, root, target.name)
	if err != nil {
		return nil, err
	}
	there, err := rowsThere(ctx, changed, target.sch)
	return sql.Row{answer, made, there}, err
}

// of makes the commit of a root, in which only one table may differ from the parent, and returns its hash; "" is none.
func (c *rowsCommit) of(ctx *sql.Context, session *dsess.DoltSession, root doltdb.RootValue, table doltdb.TableName) (string, error) {
	database, ok := session.GetDoltDB(ctx, ctx.GetCurrentDatabase())
	if !ok {
		return "", sql.ErrDatabaseNotFound.New(ctx.GetCurrentDatabase())
	}
	parent, err := findCommit(ctx, database, c.parent)
	if err != nil {
		return "", err
	}
	before, err := parent.GetRootValue(ctx)
	if err != nil {
		return "", err
	}
	differs, err := differsInTable(ctx, before, root, table)
	if err != nil || !differs {
		return "", err
	}
	name, email, err := cli.ParseAuthor(c.author)
	if err != nil {
		return "", err
	}
	now := ctx.QueryTime()
	if datas.CustomAuthorDate {
		now = datas.AuthorDate()
	}
	meta, err := datas.NewCommitMetaWithUserTS(name, email, c.message, now)
	if err != nil {
		return "", err
	}
	_, written, err := database.WriteRootValue(ctx, root)
	if err != nil {
		return "", err
	}
	made, err := database.CommitDanglingWithParentCommits(ctx, written, []*doltdb.Commit{parent}, meta)
	if err != nil {
		return "", err
	}
	found, err := made.HashOf()
	return found.String(), err
}

// refuseBranch refuses sessions that are on something that may change, as a branch.
func refuseBranch(ctx *sql.Context, session *dsess.DoltSession) error {
	database, err := session.Provider().Database(ctx, ctx.GetCurrentDatabase())
	if err != nil {
		return err
	}
	stored, ok := database.(dsess.SqlDatabase)
	if !ok || stored.RevisionType() != dsess.RevisionTypeCommit {
		return fmt.Errorf("flyte: %q is not a database at a commit", ctx.GetCurrentDatabase())
	}
	return nil
}

// refuseOtherCommits leaves commits that are signed, or that tests have to pass, to DOLT_COMMIT.
func refuseOtherCommits(ctx *sql.Context) error {
	signs, err := dsess.GetBooleanSystemVar(ctx, "gpgsign")
	if err != nil {
		return err
	}
	if signs {
		return useSQL("commits are signed")
	}
	if _, groups, ok := sql.SystemVariables.GetGlobal(actions.DoltCommitVerificationGroups); ok && groups != nil && groups != "" {
		return useSQL("commits are tested")
	}
	return nil
}

func findCommit(ctx *sql.Context, database *doltdb.DoltDB, name string) (*doltdb.Commit, error) {
	address, ok := hash.MaybeParse(name)
	if !ok {
		return nil, fmt.Errorf("flyte: %q is no hash of a commit", name)
	}
	found, err := database.ReadCommit(ctx, address)
	if err != nil {
		return nil, err
	}
	commit, ok := found.ToCommit()
	if !ok {
		return nil, doltdb.ErrGhostCommitEncountered
	}
	return commit, nil
}

// differsInTable says whether a table differs between two roots, and refuses them where anything else does.
func differsInTable(ctx *sql.Context, before, after doltdb.RootValue, table doltdb.TableName) (bool, error) {
	first, err := before.HashOf()
	if err != nil {
		return false, err
	}
	second, err := after.HashOf()
	if err != nil || first == second {
		return false, err
	}
	old, err := doltdb.MapTableHashes(ctx, before)
	if err != nil {
		return false, err
	}
	changed, err := doltdb.MapTableHashes(ctx, after)
	if err != nil {
		return false, err
	}
	if len(old) != len(changed) {
		return false, fmt.Errorf("flyte: there are %d tables, and %d before", len(changed), len(old))
	}
	for name, found := range changed {
		if name != table && found != old[name] {
			return false, fmt.Errorf("flyte: table %q differs, too", name.Name)
		}
	}
	return true, nil
}

// rowsThere counts the rows of a table; nil is one without a primary key, which has equal rows once, with a number.
func rowsThere(ctx *sql.Context, table *doltdb.Table, sch schema.Schema) (any, error) {
	if schema.IsKeyless(sch) {
		return nil, nil
	}
	rows, err := table.GetRowData(ctx)
	if err != nil {
		return nil, err
	}
	count, err := rows.Count()
	return int64(count), err
}
