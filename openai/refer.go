package openai

// stored reads whether upstream is to keep the answer of a chat.
func (r *Request) stored() error {
	store, err := kind(r.Root, "store", Bool, "true or false")
	r.Stored = store.IsTrue()
	return err
}

// FileIDs calls visit with every id of a file that a request refers to, until visit
// fails, and returns what it failed with.
func (r *Request) FileIDs(visit func(id Value) error) error {
	switch r.Operation {
	case Chat:
		for _, m := range r.Messages() {
			for _, part := range m.Get("content").Elements() {
				if err := visitString(part.Get("file").Get("file_id"), visit); err != nil {
					return err
				}
			}
		}
	case Responses, Compact:
		return r.responseFiles(visit)
	default:
	}
	return nil
}

// responseFiles is FileIDs of a Responses request.
func (r *Request) responseFiles(visit func(id Value) error) error {
	for _, item := range r.Root.Get("input").Elements() {
		for _, at := range [...]Value{item, item.Get("output"), item.Get("content")} {
			if err := visitString(at.Get("file_id"), visit); err != nil {
				return err
			}
			for _, part := range at.Elements() {
				if err := visitString(part.Get("file_id"), visit); err != nil {
					return err
				}
			}
		}
	}
	for _, variable := range r.Root.Get("prompt").Get("variables").pairs() {
		if err := visitString(variable.Get("file_id"), visit); err != nil {
			return err
		}
	}
	for _, tool := range r.Root.Get("tools").Elements() {
		if err := visitString(tool.Get("input_image_mask").Get("file_id"), visit); err != nil {
			return err
		}
		for _, id := range tool.Get("container").Get("file_ids").Elements() {
			if err := visitString(id, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

func visitString(v Value, visit func(Value) error) error {
	if v.Kind() != String {
		return nil
	}
	return visit(v)
}

// ItemReference returns the first item of a Responses request that stands for one
// that upstream keeps, or the zero Value.
func (r *Request) ItemReference() Value {
	if r.Operation != Responses && r.Operation != Compact {
		return Value{}
	}
	for _, item := range r.Root.Get("input").Elements() {
		if item.Get("type").Is("item_reference") {
			return item
		}
	}
	return Value{}
}
