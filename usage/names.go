package usage

// other is the name of all models that there is no room for.
const other = "other"

// names are the models that are told apart: the first that come, where there is a
// bound. There is a sum for each, and sums are kept for long.
type names struct {
	most  int // 0: any number
	known map[string]struct{}
}

// fold takes the names out of a row whose model is one too many.
func (n *names) fold(r *Row) {
	if _, ok := n.known[r.Model]; ok || n.most == 0 {
		return
	}
	if len(n.known) < n.most {
		if n.known == nil {
			n.known = map[string]struct{}{}
		}
		n.known[r.Model] = struct{}{}
		return
	}
	r.Model = other
	for _, name := range []*string{&r.Deployment, &r.Spilled} {
		if *name != "" {
			*name = other
		}
	}
}
