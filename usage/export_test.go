package usage

import "context"

// Upkeep does what l does every ten seconds. Fewer rows than one statement removes
// may be due.
func Upkeep(ctx context.Context, l *Ledger) error { return l.upkeep(ctx) }
