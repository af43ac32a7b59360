package proxy

import (
	"context"
	"errors"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/quota"
	"weir/usage"
)

// reservation is what a request has taken of the limits.
type reservation struct {
	held    *quota.Lease
	shadow  *quota.Lease         // of the limits that let pass; nil: there are none, or they would have refused
	no      *quota.ExceededError // with which they would have; nil: they would not
	entry   *reservation         // what the request took before its body was read, and has still; nil: nothing
	settled bool
}

// Settle replaces what was reserved by what was used, once.
func (r *reservation) Settle(used quota.Cost) {
	if r.settled {
		return
	}
	r.settled = true
	if r.entry != nil {
		r.entry.Settle(quota.Cost{Requests: used.Requests})
		used.Requests = 0
	}
	r.held.Settle(used)
	if r.shadow != nil {
		r.shadow.Settle(used)
	}
}

// asking is what is asked of the allowances of a team and its key.
type asking struct {
	accounts []quota.Account // that hold
	cost     quota.Cost
	shadows  []quota.Account // that let pass; nil: there are none
	shadowed quota.Cost      // what is asked of those
}

// draw takes of the accounts that hold, or returns the limiter's error, and then of
// those that let pass as if they held too.
func (g *Gateway) draw(ctx context.Context, a asking) (*reservation, error) {
	held, err := g.cfg.Limiter.Reserve(ctx, a.accounts, a.cost)
	if err != nil {
		return nil, err
	}
	out := &reservation{held: held}
	if len(a.shadows) > 0 {
		out.shadow, err = g.cfg.Limiter.Reserve(ctx, a.shadows, a.shadowed)
		out.no, _ = errors.AsType[*quota.ExceededError](err)
	}
	return out, nil // what only rehearses stops nothing
}

// admit takes of the allowances what a request takes whatever its body holds: itself,
// and its slot of concurrency. It is asked before any of a body is read that is to be
// kept, so that who is over a limit takes none of the room for those. The caller
// settles what is returned in every ending.
func (g *Gateway) admit(c echo.Context, op openai.Operation) (*reservation, error) {
	r := c.Request()
	ctx, one := r.Context(), quota.Cost{Requests: 1}
	rec := usage.From(ctx)
	team := g.cfg.Teams[rec.Team]
	out, err := g.draw(ctx, asking{
		accounts: team.accounts(rec.Key, "", enforced), cost: one,
		shadows: team.rehearsed(rec.Key), shadowed: one,
	})
	if err != nil {
		if r.ContentLength != 0 {
			leave(c)
		}
		return nil, refused(ctx, team, rec, &decision{operation: op}, err)
	}
	return out, nil
}

// further takes the rest of what a request may cost that was admitted before its body
// was read: no second request and no second slot.
func (g *Gateway) further(ctx context.Context, entry *reservation, a asking) (*reservation, error) {
	a.cost.Requests, a.cost.Further = 0, true
	a.shadowed.Requests, a.shadowed.Further = 0, true
	if entry.shadow == nil {
		a.shadows = nil // they have refused it
	}
	out, err := g.draw(ctx, a)
	if err != nil {
		return nil, err
	}
	out.entry = entry
	switch {
	case entry.shadow == nil:
		out.no = entry.no
	case out.shadow == nil:
		entry.shadow.Settle(quota.Cost{})
	}
	return out, nil
}
