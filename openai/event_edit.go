package openai

// Edit makes edits in what the event's data says. Root then tells of what they made,
// so that further edits are of that.
func (e *Event) Edit(edits ...Edit) {
	if len(edits) == 0 {
		return
	}
	e.Data = Apply(e.Data, edits...)
	if root, err := ReadValue(e.Data); err == nil {
		e.Root = root
	}
}
