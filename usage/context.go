package usage

import "context"

type contextKey struct{}

// With returns a context that carries r.
func With(ctx context.Context, r *Record) context.Context {
	return context.WithValue(ctx, contextKey{}, r)
}

// From returns the record of the request that ctx belongs to, and one that
// nobody will see where there is none.
func From(ctx context.Context) *Record {
	if r, ok := ctx.Value(contextKey{}).(*Record); ok {
		return r
	}
	return &Record{}
}
