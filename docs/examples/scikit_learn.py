"""
A classifier of scikit-learn
============================

`LeNet5Classifier` works wherever scikit-learn takes a classifier: in pipelines, cross-validation and grid search.
"""

# %%
# Cross-validation beside a support vector machine.

from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC

import lenet5
from lenet5 import plots

features, targets = load_digits(return_X_y=True)
models = {
    "LeNet-5": make_pipeline(MinMaxScaler(), lenet5.LeNet5Classifier(max_epochs=8, random_state=0)),
    "SVM": make_pipeline(MinMaxScaler(), SVC()),
}
predictions = {name: cross_val_predict(model, features, targets, cv=3) for name, model in models.items()}
for name, predicted in predictions.items():
    print(f"{name}: {lenet5.accuracy(targets, predicted):.2%}")

# %%
# The figures of the library take what scikit-learn returns.

plots.plot_confusion_matrix(lenet5.confusion_matrix(targets, predictions["LeNet-5"]))

# %%
# Digits that both get wrong.

wrong = (predictions["LeNet-5"] != targets) & (predictions["SVM"] != targets)
images = features[wrong].reshape(-1, 1, 8, 8) * 255 / 16
plots.plot_images(images, [f"{target}" for target in targets[wrong]])

# sphinx_gallery_thumbnail_number = 2
