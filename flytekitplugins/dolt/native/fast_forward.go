package native

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dolthub/dolt/go/libraries/doltcore/branch_control"
	"github.com/dolthub/dolt/go/libraries/doltcore/doltdb"
	"github.com/dolthub/dolt/go/libraries/doltcore/ref"
	"github.com/dolthub/dolt/go/libraries/doltcore/sqle/dsess"
	"github.com/dolthub/dolt/go/store/datas"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// What flyte_fast_forward answers.
const (
	movedForward = ""
	isElsewhere  = "elsewhere"   // the branch is not where it was to be, or one of the two commits is not there
	isInUse      = "uncommitted" // its working set is not just its head, or a merge or rebase is under way
)

var fastForwardSchema = sql.Schema{{Name: "found", Type: types.LongText}}

// fastForward is flyte_fast_forward(branch, from, to): it moves a branch, and its working set with it, from one commit to
// another whose only parent that is, in one write to the store. Where the branch is not at from, or something is there
// that is in no commit, nothing is changed, and the answer says which.
func fastForward(_ *sql.Context, branch, from, to string) (sql.RowIter, error) {
	return &rowWhenAsked{work: func(ctx *sql.Context) (sql.Row, error) {
		answer, err := moveBranch(ctx, branch, from, to)
		return sql.Row{answer}, err
	}}, nil
}

func moveBranch(ctx *sql.Context, branch, from, to string) (string, error) {
	if err := mayWriteTo(ctx, branch); err != nil {
		return "", err
	}
	database, ok := dsess.DSessFromSess(ctx.Session).GetDoltDB(ctx, ctx.GetCurrentDatabase())
	if !ok {
		return "", sql.ErrDatabaseNotFound.New(ctx.GetCurrentDatabase())
	}
	commit, err := findCommit(ctx, database, to)
	if errors.Is(err, datas.ErrCommitNotFound) {
		return isElsewhere, nil // it was collected as garbage
	}
	if err != nil {
		return "", err
	}
	parents, err := commit.ParentHashes(ctx)
	if err != nil {
		return "", err
	}
	if len(parents) != 1 || parents[0].String() != from {
		return "", fmt.Errorf("flyte: %s is not the only parent of %s", from, to)
	}
	head := ref.NewBranchRef(branch)
	stored := doltdb.HackDatasDatabaseFromDoltDB(database)
	// The head that is compared here is that which is exchanged below, and no other.
	found, err := stored.GetDataset(ctx, head.String())
	if err != nil {
		return "", err
	}
	if at, ok := found.MaybeHeadAddr(); !ok || at != parents[0] {
		return isElsewhere, nil
	}
	set, err := ref.WorkingSetRefForHead(head)
	if err != nil {
		return "", err
	}
	if busy, err := hasStarted(ctx, database, set); err != nil || busy {
		return isInUse, err
	}
	address, err := commit.HashOf()
	if err != nil {
		return "", err
	}
	_, err = stored.FastForward(ctx, found, address, set.String())
	switch {
	case errors.Is(err, datas.ErrMergeNeeded):
		return isElsewhere, nil
	case errors.Is(err, datas.ErrDirtyWorkspace):
		return isInUse, nil
	}
	return movedForward, err
}

// hasStarted says whether a merge or a rebase is under way in a working set.
func hasStarted(ctx *sql.Context, database *doltdb.DoltDB, set ref.WorkingSetRef) (bool, error) {
	found, err := database.ResolveWorkingSet(ctx, set)
	if errors.Is(err, doltdb.ErrWorkingSetNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return found.MergeActive() || found.RebaseActive(), nil
}

// mayWriteTo refuses whoever has no right to write to a branch; the session is on another revision.
func mayWriteTo(ctx *sql.Context, branch string) error {
	session := branch_control.GetBranchAwareSession(ctx)
	if session == nil || session.GetController() == nil {
		return branch_control.ErrMissingController.New()
	}
	access := session.GetController().Access
	access.RWMutex.RLock()
	defer access.RWMutex.RUnlock()
	database, _, _ := strings.Cut(ctx.GetCurrentDatabase(), "/")
	_, has := access.Match(database, branch, session.GetUser(), session.GetHost())
	if has&(branch_control.Permissions_Write|branch_control.Permissions_Admin) == 0 {
		return branch_control.ErrIncorrectPermissions.New(session.GetUser(), session.GetHost(), branch)
	}
	return nil
}
