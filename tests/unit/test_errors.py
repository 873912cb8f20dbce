import inspect

from tflbuild import errors


def test_the_shape_of_an_error():
    error = errors.RecipeError("it is wrong", where="a.yaml:3", why="two\nlines", next_step="mend it")
    assert str(error).splitlines() == [
        "error[recipe]: it is wrong",
        "  where: a.yaml:3",
        "  why:   two",
        "         lines",
        "  next:  mend it",
    ]


def test_exit_codes_are_those_that_the_docs_promise():
    codes = {name: kind.exit_code for name, kind in errors.BY_KIND.items()}
    assert codes == {"build": 1, "recipe": 2, "usage": 2, "gate": 3, "environment": 4}


def test_every_error_class_has_a_kind_of_its_own():
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.TflbuildError)]
    assert len({c.kind for c in classes}) == len(classes)


def test_the_nearest_names_come_first():
    assert errors.nearest("int9", ["int8", "float16", "none"]) == "did you mean: int8"
    assert errors.nearest("zzz", ["int8", "none"]) == "known: int8, none"
    assert errors.nearest("zzz", [f"name{n}" for n in range(20)]) == ""


def test_the_user_in_a_url_is_in_no_error():
    error = errors.UsageError("cannot read 'store.remote=http://me:hush@h/x'", why="s3://a:hush@b, me@h/x")
    assert "hush" not in str(error) and "//...@h/x" in str(error) and "me@h/x" in str(error)
