"""Networks and their parts: channels last, float32 unless a run says otherwise, whatever the user's keras.json says."""

import keras

keras.config.set_image_data_format("channels_last")
keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)
