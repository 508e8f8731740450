module gotmpl

go 1.24
